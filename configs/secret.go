// SPDX-License-Identifier: Apache-2.0

package configs

// This file: reading files that hold a secret.

import (
	"errors"
	"fmt"
	"os"
)

// ErrSecret: a file that is to hold a secret is open to others, or is no file.
var ErrSecret = errors.New("secret file")

// maxSecret is the largest secret file: a private key is far smaller.
const maxSecret = 64 << 10

// ReadSecret reads a file that holds a secret. Its owner, and a group that may
// only read it, are trusted: that is how Kubernetes mounts a secret for a
// service that does not run as root (fsGroup, mode 0440). A file that anybody
// else may open, or that the group may write, is refused with ErrSecret.
func ReadSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxSecret:
		return nil, fmt.Errorf("%w: %s is not a file of at most %d bytes", ErrSecret, path, maxSecret)
	case info.Mode().Perm()&0o037 != 0:
		return nil, fmt.Errorf("%w: %s is open to others (hint: chmod 600, or 440 for a group of the service's own)", ErrSecret, path)
	}
	return os.ReadFile(path)
}
