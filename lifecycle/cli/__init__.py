"""The command line: one file for each verb, loaded when the verb is used."""
