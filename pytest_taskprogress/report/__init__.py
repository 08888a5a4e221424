"""What a person sees of a session: records of its runs, the HTML page, the parts of a failure."""
