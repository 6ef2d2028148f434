// coroutines
