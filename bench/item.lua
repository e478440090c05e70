wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name": "chair", "price": 12.5, "tags": ["a", "b"]}'
