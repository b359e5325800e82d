"""Wake-ups for open pages: something changed in a topic. What changed is read from the store by the page's parts."""
