"""Many runs from one command, each in a folder that its configuration decides, so that any launcher can do them."""
