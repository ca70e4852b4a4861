# Reference numbers from base R alone on Mroz's women as the PyPI package causaldata has them:
# a probit by glm, the two steps by lm, and the likelihood, written out here, by optim.
# Run: python -c "from causaldata import Mroz; Mroz.load_pandas().data.to_csv('mroz.csv')"
#      Rscript selection_mroz.R > selection_mroz.json
d <- read.csv("mroz.csv"); d$lfp <- d$lfp == "True"; d$wc <- d$wc == "True"; d$hc <- d$hc == "True"
Z <- model.matrix(~ k5 + k618 + age + wc + hc + inc, d)
X <- model.matrix(~ wc + age + I(age^2), d)
s <- d$lfp; y <- d$lwg[s]; Xs <- X[s, ]
probit <- glm(s ~ Z - 1, family = binomial("probit"), control = list(epsilon = 1e-14, maxit = 100))
mills <- (dnorm(Z %*% coef(probit)) / pnorm(Z %*% coef(probit)))[s]
step <- lm(y ~ Xs + mills - 1)
loglik <- function(t) {
  g <- t[1:7]; b <- t[8:11]; sigma <- exp(t[12]); rho <- tanh(t[13])
  a <- Z %*% g; e <- (y - Xs %*% b) / sigma
  sum(pnorm(-a[!s], log.p = TRUE)) + sum(dnorm(e, log = TRUE) - log(sigma)) +
    sum(pnorm((a[s] + rho * e) / sqrt(1 - rho^2), log.p = TRUE))
}
# Starts from the two steps; columns are rescaled since age squared is large.
start <- c(coef(probit), coef(step)[1:4], log(summary(step)$sigma), 0)
size <- c(sqrt(colMeans(Z^2)), sqrt(colMeans(Xs^2)), 1, 1)
f <- function(u) -loglik(u / size)
fit <- optim(start * size, f, method = "BFGS", control = list(maxit = 5000, reltol = 1e-15))
fit <- optim(fit$par, f, method = "BFGS", hessian = TRUE,
             control = list(maxit = 5000, reltol = 1e-16, ndeps = rep(1e-4, 13)))
est <- fit$par / size; se <- sqrt(diag(solve(fit$hessian))) / size
number <- function(x) paste0("[", paste(sprintf("%.12g", x), collapse = ", "), "]")
cat("{\"software\": \"", R.version.string, "; selection_mroz.R; 2026-11-27\",\n", sep = "")
cat("\"probit\": ", number(coef(probit)), ",\n\"two_step\": ", number(coef(step)), ",\n", sep = "")
cat("\"ml\": ", number(c(est[1:11], exp(est[12]), tanh(est[13]))), ",\n", sep = "")
cat("\"ml_se\": ", number(c(se[1:11], exp(est[12]) * se[12], (1 - tanh(est[13])^2) * se[13])), ",\n", sep = "")
cat("\"log_likelihood\": ", sprintf("%.12g", -fit$value), "}\n", sep = "")
