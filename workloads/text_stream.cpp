// text_stream
