// line_formats
