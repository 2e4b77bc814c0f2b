// /compare
