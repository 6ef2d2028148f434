// input_file
