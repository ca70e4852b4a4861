# Numbers of "donors_by_row_order" in nonprobsvy.json: mass imputation by the five nearest donors,
# as nonprobsvy 0.2.3 calls RANN, for several orders of the rows of its `admin` data.
# Run 2026-11-27 with R 4.2.2 and RANN 2.6.1: Rscript nonprobsvy_row_order.R admin.csv jvs.csv
library(RANN)
files <- commandArgs(TRUE)
admin <- read.csv(files[1], colClasses = c(region = "character"))
jvs <- read.csv(files[2], colClasses = c(region = "character"))
for (v in c("region", "nace", "size")) {
  levels <- sort(unique(c(admin[[v]], jvs[[v]])))
  admin[[v]] <- factor(admin[[v]], levels)
  jvs[[v]] <- factor(jvs[[v]], levels)
}
admin$single_shift <- as.numeric(admin$single_shift)
x <- ~ region + private + nace + size
of_donors <- function(logs, here, there) {
  donors <- nn2(here, there, k = 5)$nn.idx
  weighted.mean(apply(donors, 1, function(i) mean(logs$single_shift[i])), jvs$weight)
}
nearest <- function(logs) of_donors(logs, model.matrix(x, logs), model.matrix(x, jvs))
predicted <- function(logs) {
  fit <- glm(update(x, single_shift ~ .), data = logs, family = binomial)
  of_donors(logs, matrix(fitted(fit)), matrix(predict(fit, jvs, type = "response")))
}
set.seed(1)
for (method in list(nearest, predicted)) {
  orders <- replicate(20, method(admin[sample(nrow(admin)), ]))
  print(c(method(admin), mean(orders), sd(orders), range(orders)), digits = 12)
}
