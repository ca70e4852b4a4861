# Two-step biserial correlation on made-up data, base R only.
# Rscript tests/oracles/biserial_made_up.R > tests/oracles/biserial_made_up.json
i <- 1:400
x <- qnorm((i * 0.6180339887498949) %% 1)
e <- qnorm((i * 0.7548776662466927) %% 1)
y <- as.numeric(0.5 * x + sqrt(0.75) * e > 0.2)
z <- (x - mean(x)) / sqrt(mean((x - mean(x))^2))
cut <- qnorm(mean(y))
loglik <- function(rho) {
  sum(pnorm((2 * y - 1) * (cut + rho * z) / sqrt(1 - rho^2), log.p = TRUE))
}
rho <- optimize(loglik, c(-0.999, 0.999), maximum = TRUE, tol = 1e-12)$maximum
cat(sprintf(
  '{"software": "%s", "call": "optimize(loglik, c(-0.999, 0.999), tol = 1e-12)", "date": "%s",\n "mean_y": %.17g, "rho": %.12f}\n',
  R.version.string, "2026-11-23", mean(y), rho
))
