"""What ``imgtrain doctor`` looks at; each check by itself, so that one failure is one line."""
