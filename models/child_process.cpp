// child_process
