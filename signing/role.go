package signing

import (
	"fmt"
	"time"
)

// Role is one of the four top-level roles of TUF.
type Role string

// The roles.
const (
	RoleRoot      Role = "root"      // says which keys speak for the others
	RoleTargets   Role = "targets"   // says which releases and channels there are
	RoleSnapshot  Role = "snapshot"  // says which targets metadata is current
	RoleTimestamp Role = "timestamp" // says which snapshot is current, and that it is
)

// Roles lists all four, in the order in which a host persists them.
func Roles() []Role { return []Role{RoleRoot, RoleTimestamp, RoleSnapshot, RoleTargets} }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	for _, r := range Roles() {
		if s == string(r) {
			return r, nil
		}
	}
	return "", fmt.Errorf("role %.80q: want root, targets, snapshot or timestamp", s)
}

// Lifetimes says how long each role's metadata is valid from its signing.
type Lifetimes map[Role]time.Duration

const day = 24 * time.Hour

// DefaultLifetimes are a year for root, 90 days for targets, 30 for snapshot
// and 14 for timestamp: a host notices within that time that a server keeps
// news from it.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{RoleRoot: 365 * day, RoleTargets: 90 * day, RoleSnapshot: 30 * day, RoleTimestamp: 14 * day}
}

// lifetimeMost keeps a slip of the pen from making metadata eternal.
const lifetimeMost = 20 * 365 * day

// of is role's lifetime, the default if l does not name it.
func (l Lifetimes) of(role Role) (time.Duration, error) {
	life, ok := l[role]
	if !ok {
		return DefaultLifetimes()[role], nil
	}
	if life <= 0 || life > lifetimeMost {
		return 0, fmt.Errorf("lifetime of %s %v: want more than 0 and at most %d days", role, life, int(lifetimeMost/day))
	}
	return life, nil
}
