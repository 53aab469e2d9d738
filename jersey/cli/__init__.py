"""The command `jersey`, its flags and what is behind them; a measurement of label preservation."""
