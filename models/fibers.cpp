// fibers
