-- wrk reads requests that were signed beforehand, all of the same length, from the file $REQUESTS: so its one thread only sends.
local file = io.open(os.getenv("REQUESTS"), "rb")
local length = tonumber(os.getenv("LENGTH"))

request = function()
   return file:read(length)
end
