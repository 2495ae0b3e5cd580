"""What docker/ holds, checked without Docker and without Kubernetes."""
