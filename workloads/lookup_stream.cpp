// lookup_stream
