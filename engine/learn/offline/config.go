// SPDX-License-Identifier: Apache-2.0

package offline

import "fmt"

// Config are the settings of a fit.
type Config struct {
	// Seed decides everything that is drawn.
	Seed uint64 `json:"seed"`
	// Discount is γ in (0, 1].
	Discount float64 `json:"discount"`
}

// Defaults are the published settings of a method.
func Defaults(method Method) Config { return Config{Seed: 1, Discount: 0.99} }

func (c Config) validate() error {
	if !(c.Discount > 0 && c.Discount <= 1) {
		return fmt.Errorf("%w: discount %v, want (0, 1]", ErrMethod, c.Discount)
	}
	return nil
}
