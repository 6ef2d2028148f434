// resp
