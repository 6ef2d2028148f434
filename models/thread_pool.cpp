// thread_pool
