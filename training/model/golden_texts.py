"""Texts whose scores are shipped with a model: a runtime that scores them differently must not serve it.

All were written for this purpose; none is from a data set. They are as different as possible: short and long, Chinese
(both scripts) and English, negated, ironic, mixed, with emoji, mark-up and unknown words.
"""

from __future__ import annotations

GOLDEN_TEXTS = (
    # Short.
    "好",
    "差",
    "good",
    "Terrible.",
    "不好",
    "not bad",
    "还行吧",
    "!!!",
    "👍",
    "😡😡😡😡😡",
    # Chinese.
    "键盘手感很舒服，打字声音也轻，同事都来问我在哪里买的。",
    "用了三天就充不进电，联系卖家一直不回复，再也不会来了。",
    "苹果又脆又甜，包装严实，一个坏的都没有，家里老人特别喜欢。",
    "收到的梨烂了一半，说好的赔付也没有兑现，太让人失望。",
    "房间有一股霉味，隔音极差，半夜还有人敲门，早餐更是难以下咽。",
    "前台小姑娘很热情，主动帮忙升级了房型，离地铁口走路只要五分钟。",
    "书的纸张不错，内容却东拼西凑，看了一半就看不下去了。",
    "这本小说后劲很大，合上书以后好几天都在想主人公的结局。",
    "洗完头发又干又涩，还掉了不少，估计买到假货了。",
    "洗发水的香味淡淡的，用完头皮不痒了，会继续回购。",
    "物流倒是挺快，可惜衣服颜色和图片完全不一样，起球也厉害。",
    "不是不满意，只是没有想象中那么惊艳。",
    "一点都不后悔买了它。",
    "我不认为这个价格值得。",
    "说明书写得不清楚，但是客服耐心地教会了我，最后还是装好了。",
    "呵呵，这质量真是“好”得没话说，第一天就散架。",
    "快递小哥冒着大雨送上门，给他点赞！！！！！！",
    "手机发热严重，玩十分钟游戏就烫手，电池也不耐用。",
    "電視畫質清晰，安裝師傅很專業，全家人都很滿意。",
    "這家旅館的服務態度惡劣，廁所還漏水，絕對不會再住。",
    "螢幕有一條亮線，退貨流程又慢，真的很後悔。",
    "😊 孩子拿到手就不肯放下，做工也细致，五星好评 ⭐⭐⭐⭐⭐",
    "<br/>外观还可以，<br />就是太重，出门不方便带。",
    "详情见 https://example.com/a?b=1 @someone 说的一样，挺划算的",
    "鼠标侧键松松垮垮，滚轮一滚就乱跳，跟客服沟通了三次都让我重启电脑，敷衍得很。",
    "龘靐齉爩",
    # English.
    "I laughed from the opening scene to the last, and so did everyone around me.",
    "Two hours of my life that I will never get back; the plot makes no sense at all.",
    "The acting is wooden, the jokes fall flat and the ending is an insult.",
    "A tender, beautifully shot story that trusts its audience.",
    "I wouldn't say it's a masterpiece, but I enjoyed every minute of it.",
    "It's not that the film is bad, it just never gets going.",
    "Nobody could call this boring.",
    "Great cast, great score, and yet somehow a complete waste of talent.",
    "Don't waste your money on this one!!!!!!!!",
    "The second half drags a little, though the lead carries it with charm.",
    "Oh sure, because what the world needed was a ninth sequel. Brilliant.",
    "The battery died after a week and the seller refused a refund.",
    "Works exactly as described, arrived early, would happily buy again. 😀",
    "zxqv blorptastic wuggle frindle",
    "<p>Slow.</p><br><br>Predictable.<br>Loud.",
    # Both at once.
    "这个 app 的 UI 很 nice，就是广告太多",
    "Service 很差, never again",
    # Longer than a model's max_tokens: only the head and the tail are read.
    "The film opens in a small harbour town where nothing has happened for years. " * 12
    + "By the end I was bored, annoyed and glad to leave.",
    "酒店位置很好，出门就是海边，房间干净，床也舒服，服务员见面都会打招呼。" * 20 + "总的来说非常满意，下次还来。",
    "前面的情节平平淡淡，人物也没有什么特点。" * 30 + "结尾更是莫名其妙，不推荐。",
)
