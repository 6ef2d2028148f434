// key_generator
