"""One self-contained page that recomputes in the browser."""
