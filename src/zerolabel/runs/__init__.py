"""The main job: its configuration, plan, stages and folder."""
