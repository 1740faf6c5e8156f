def run(w): pass
