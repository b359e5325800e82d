"""How things are said in Chinese and English, for stages as well as for pages. Knows neither."""
