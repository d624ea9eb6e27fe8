"""Images in files of their own: folders of classes, tables."""
