"""Whether one side's runs read better than the other's: `python -m jersey.compare RUN_A... -- RUN_B...`.

Works on what each run keeps of its test, so it needs neither torch nor the data.
"""
