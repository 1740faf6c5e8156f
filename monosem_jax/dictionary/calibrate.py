"""placeholder"""
def l1(*a): raise SystemExit
