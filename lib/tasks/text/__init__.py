"""Plain text: files of anyone's, as token windows to fit proxies on and splits to test them on."""
