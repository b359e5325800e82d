"""The rules: what each looks at, when that is an alarm, what people are told, and who changed it when."""
