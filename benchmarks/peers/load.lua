-- What wrk sends, named by the environment, and its summary as one line of JSON.
local file = io.open(os.getenv("BENCHMARK_BODY"), "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = os.getenv("BENCHMARK_TYPE")
local size = os.getenv("BENCHMARK_JSON_SIZE")
if size ~= "" then
  wrk.headers["Inference-Header-Content-Length"] = size
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'SUMMARY {"requests": %d, "duration_us": %d, "non_2xx": %d, "broken": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
