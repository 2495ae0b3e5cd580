// The server sends a wrong token back here.
document.getElementById('wrong').hidden = !location.search.startsWith('?wrong');
