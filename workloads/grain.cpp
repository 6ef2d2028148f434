// grain
