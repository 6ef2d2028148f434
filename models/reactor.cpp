// reactor
