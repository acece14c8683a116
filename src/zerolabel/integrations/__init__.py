"""Export to and import from other tools.

Nothing is imported here, so that the command line reads `zerolabel.integrations.table` without torch.
"""
