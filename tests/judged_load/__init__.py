"""Load for fault tests: sends requests at a fixed rate, and checks each answer against the models that it names."""

import os

# Tests start servers while they call over gRPC. With gRPC's fork handlers 33 of 1,531 child processes ended before
# they ran their program; without them none of 1,561. gRPC reads this when it is first used.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
