"""The routes of the data that web pages show and of what they start; they are not part of the released API."""
