"""The main job from a clone: an organization's contacts and a CRM account come into step, both ways."""
