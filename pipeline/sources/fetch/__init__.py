"""Downloads published files: with mirrors and resume, verified, and only after their terms were accepted.

The entrance is `downloads.Downloads`. Below it, `retrieval` tries the URLs of one file, `transfer` is one HTTP request,
and `partial` holds the bytes received so far.
"""
