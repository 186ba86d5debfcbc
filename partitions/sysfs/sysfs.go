// Package sysfs reads what Linux says of devices in /sys.
package sysfs

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Number is the number in a file of /sys, such as a partition's start.
func Number(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// What is counted in sectors fits as bytes, too.
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 54)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
