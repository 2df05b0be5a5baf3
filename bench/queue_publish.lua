-- For wrk: publishes one message of 1 KB a request, as curl would.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"topic":"telemetry","payload":"' .. string.rep("x", 1024) .. '"}'
