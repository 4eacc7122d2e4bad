"""The documentation: its pages, their examples, and what builds the site from them."""
