"""What the site needs beside Sphinx: drawings, tables and docstrings that follow the code."""
