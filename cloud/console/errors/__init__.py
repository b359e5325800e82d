"""Error pages: what happened, what is safe, what to do, each in a sentence."""
