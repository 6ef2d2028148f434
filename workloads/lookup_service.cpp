// lookup_service
