package rpm

// Unsigned is c without a demand for signatures.
func Unsigned(c ReadConfig) ReadConfig {
	c.unsigned = true
	return c
}
