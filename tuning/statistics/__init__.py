"""Is a difference more than chance, and how far may it be from the truth?"""
