// portable_math
