"""Web pages like those of Google Drive and others: with the same titles and forms."""

QUOTA = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head>
<body><div class="uc-main"><p class="uc-error-caption">Sorry, this file cannot be downloaded now.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></div></body></html>"""

LOGIN = b"""<!doctype html><html lang="en"><head><title>Sign in - Google Accounts</title></head>
<body><form action="https://accounts.google.com/v3/signin/identifier" method="post"></form></body></html>"""

PARKED = b"""\xef\xbb\xbf  <!-- parked --> <HTML><head><title>Welcome to
our new home</title></head><body>The file you look for has moved.</body></html>"""

XHTML = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Google Drive - Quota exceeded</title></head><body/></html>"""

NOT_FOUND = b"<!DOCTYPE html><html><title>Error 404 (Not Found)!!1</title></html>"


def virus_scan(file_id: str) -> bytes:
    """The question whether to download a file that is too large to be scanned."""
    return f"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="search-form" action="/search"><input type="hidden" name="q" value="x"></form>
<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">
<input type="submit" value="Download anyway"/><input type="hidden" name="id" value="{file_id}">
<input type="hidden" name="export" value="download"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="5e0c1a2b-0000-4e5f-8a9b-0c1d2e3f4a5b"></form></body></html>""".encode()
